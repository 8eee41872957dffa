"""The demo: real data, a real S3 server, the main job end to end."""
