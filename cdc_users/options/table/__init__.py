"""The options, one record each, by the group in which form and page show them."""
