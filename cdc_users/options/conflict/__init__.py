"""What options need and exclude; one file for each file of `table/`."""
