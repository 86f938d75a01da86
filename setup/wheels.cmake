# Makes the ROS 2 wheels usable to build messages against. Passed by the Makefile as CMAKE_PROJECT_INCLUDE; builds against an
# installed ROS 2 do not need it.
#
# The wheels' imported targets name include folders of the machine that built the wheels (/opt/python/...). CMake refuses a target
# with an include folder that does not exist, so those entries are dropped once all packages have been found.

function(robotseg_drop_missing_include_directories)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT directories)
      continue()
    endif()
    set(kept "")
    foreach(directory IN LISTS directories)
      # Generator expressions are known only later: CMake sorts them out itself.
      if(directory MATCHES "^\\$<" OR EXISTS "${directory}")
        list(APPEND kept "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
  endforeach()
endfunction()

cmake_language(DEFER CALL robotseg_drop_missing_include_directories)
