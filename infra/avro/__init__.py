"""The bulk Avro codec: many messages of one schema read and written in whole columns."""
