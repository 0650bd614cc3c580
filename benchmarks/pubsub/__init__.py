"""What publishing costs: between nodes in OS processes, beside NATS and zenoh, and finding who has subscribed."""
