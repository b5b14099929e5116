"""What options need and exclude, a file for each file of `table/`."""
