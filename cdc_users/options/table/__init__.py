"""The options, one record each; a file for each group of form and page."""
