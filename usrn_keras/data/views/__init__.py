"""Weak views, and the host side of strong views: crops, boxes and random changes of intensity."""
