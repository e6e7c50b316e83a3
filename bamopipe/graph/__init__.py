"""A model as plain data that a person can read and look at: `Graph.of` makes it."""

from bamopipe.graph.describe import describe
from bamopipe.graph.graph import Graph, GraphNode

__all__ = ["Graph", "GraphNode", "describe"]
