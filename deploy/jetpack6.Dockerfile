# robotseg_ros for Jetsons with JetPack 6 (Orin): Ubuntu 22.04, ROS 2 Humble from apt, torch for JetPack's CUDA 12.6. On the Jetson, from the
# repository's root:
#   docker build -f deploy/jetpack6.Dockerfile -t robotseg_ros .
#   docker run --rm --runtime nvidia --ipc=host --net=host robotseg_ros ros2 launch robotseg_ros realsense.launch.xml
# This torch uses the CUDA libraries of JetPack, which the base image has.
FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0
ARG TORCH_INDEX=https://pypi.jetson-ai-lab.io/jp6/cu126
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 ROS_DISTRO=humble

RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl \
    && version=$(curl -fsSL https://api.github.com/repos/ros-infrastructure/ros-apt-source/releases/latest \
        | sed -n 's/.*"tag_name": *"\([^"]*\)".*/\1/p') \
    && curl -fsSL -o /tmp/ros.deb "https://github.com/ros-infrastructure/ros-apt-source/releases/download/${version}/ros2-apt-source_${version}.jammy_all.deb" \
    && apt-get install -y /tmp/ros.deb && rm /tmp/ros.deb && apt-get update \
    && apt-get install -y --no-install-recommends ros-humble-ros-base ros-humble-tf2-ros-py ros-humble-rmw-fastrtps-cpp \
        build-essential cmake python3-colcon-common-extensions python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/robotseg_ros
RUN . /opt/ros/humble/setup.sh \
    && PIP_NO_CACHE_DIR=1 TORCH_INDEX=${TORCH_INDEX} /opt/robotseg_ros/setup/apt_ros.sh /opt/robotseg \
    && printf '#!/bin/sh\n. /opt/robotseg/install/setup.sh\nexec "$@"\n' > /robotseg_entrypoint.sh && chmod +x /robotseg_entrypoint.sh

# For whatever is started here, so that large images arrive.
ENV FASTRTPS_DEFAULT_PROFILES_FILE=/opt/robotseg/install/share/robotseg_ros/config/fastdds.xml

ENTRYPOINT ["/robotseg_entrypoint.sh"]
CMD ["robotseg", "doctor", "--ros"]
