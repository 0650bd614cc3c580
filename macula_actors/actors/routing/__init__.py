"""The DHT's processes: the server of the table and the records, its lookups, and the way to peers."""
