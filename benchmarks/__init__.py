"""Ratios against a plain way of doing the same, measured side by side in one run; `make bench` prints them."""
