# Writes TIDEGATE_COMMIT_FILE: the commit of the checkout, with `-dirty` if files were changed. The file is empty where there
# is no checkout, such as in a source archive, also if that was unpacked inside a checkout of another project.
get_filename_component(root ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
set(commit "")
if(EXISTS ${root}/.git)
  execute_process(
    COMMAND git describe --always --dirty --exclude=* WORKING_DIRECTORY ${root}
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
file(WRITE ${TIDEGATE_COMMIT_FILE} "${commit}\n")
