"""What people answered in annotation tools, as these tools export it."""
