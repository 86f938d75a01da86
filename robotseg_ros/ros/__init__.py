"""The ROS 2 shell around the segmenter: topics, services, parameters, life cycle; not how masks are made."""
