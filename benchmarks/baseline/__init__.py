"""Straightforward code after the published descriptions, one room for each; what ktse is measured against."""
