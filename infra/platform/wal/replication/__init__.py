"""The direct reader's slot: reads it, passes changes on, and confirms what is durable."""
