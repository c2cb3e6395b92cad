"""The demo shop: a generated catalogue with drawn pictures, and shoppers with tastes."""
