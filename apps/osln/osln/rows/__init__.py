"""Every network, recipe, tag and line of the paper as data; standard library only."""
