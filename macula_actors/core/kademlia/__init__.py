"""The distributed hash table: ids, buckets, lookups, records."""
