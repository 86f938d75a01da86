"""RobotSeg for ROS 2: segments robots, their arms and their grippers in camera streams."""

import os
from pkgutil import extend_path

# OpenMP's threads spin while they wait for each other. Left to spin long, a frame takes seconds where other processes (a
# camera, a recorder) want the same few cores; not at all, they sleep and wake at every operation, and two cores are no
# faster than one. This count is about 20 microseconds. It is read when torch is first imported, so it is set here.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

# The generated messages (`robotseg_ros.msg`, `.srv`) exist only where the package was built, the modules also
# in the source tree and in a `pip install`. What comes first on sys.path serves the modules, the others what
# it lacks.
__path__ = extend_path(__path__, __name__)
