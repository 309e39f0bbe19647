#include "orchestrator/cli/cli.h"

int main(int argc, char** argv) { return katman::run_command_line(argc, argv); }
