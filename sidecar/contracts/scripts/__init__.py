"""The scripts that change the join, one Lua file each, and how they are called."""
