"""RobotSeg for ROS 2: segments robots, their arms and their grippers in camera streams."""

import os
from pkgutil import extend_path

# OpenMP's threads wait for each other by spinning; where other processes (a camera, a recorder) want the same few
# cores, a frame then takes seconds. It is read when torch is first imported, so it is set here, ahead of all modules.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

# The generated messages (`robotseg_ros.msg`, `.srv`) exist only where the package was built, the modules also
# in the source tree and in a `pip install`. What comes first on sys.path serves the modules, the others what
# it lacks.
__path__ = extend_path(__path__, __name__)
