"""The bulk Avro codec: reads and writes many messages of one schema, column by column."""
