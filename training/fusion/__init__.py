"""Fusion of text, picture and behaviour on real data: histories with content codes, photos with titles, the picture tower."""
