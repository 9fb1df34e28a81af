"""The whole system in a cluster: images, emulators under the real names, the chart, the demo. See docs/development."""
