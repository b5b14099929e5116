"""The direct reader's slot: reading it, handing changes on, confirming what is durable."""
