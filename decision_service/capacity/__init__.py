"""How much of everything so many decisions a second need: the arithmetic of docs/capacity.md.

``costs.py``    what one decision was measured to take, or what your own ``make bench`` says
``sizing.py``   demand times costs
``showing.py``  the result as rows
"""
