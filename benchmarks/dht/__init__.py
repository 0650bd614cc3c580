"""What a find in the DHT costs: against the size of the network, simulated; and beside bmuller's kademlia."""
