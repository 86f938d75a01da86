"""`pip install .` without ROS: the Python package, with config/ and the shipped weights as package data."""

from setuptools import find_namespace_packages, find_packages, setup

# robotseg_ros.resources.config_dir() looks for `config` beside the modules first.
config_packages = ["robotseg_ros.config"] + [
    f"robotseg_ros.config.{name}" for name in find_namespace_packages("config")
]

setup(
    packages=find_packages(include=["robotseg_ros", "robotseg_ros.*"]) + config_packages,
    package_dir={"robotseg_ros.config": "config"},
    package_data={"": ["*.json", "*.rviz", "*.xml", "*.yaml", "*.safetensors", "py.typed"]},
)
