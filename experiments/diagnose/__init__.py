"""Are resets worth it for this model and this data?"""
