"""The `sidearm` command line, which every package adds its commands to."""
