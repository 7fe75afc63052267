"""From a list of layers to something mountable: the overlay snapshotter."""
