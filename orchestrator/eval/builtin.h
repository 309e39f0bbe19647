// Tasks that need no download, in the manner of section 3.9 of the GPT-3 paper (Brown et al.,
// 2020).
#pragma once

#include <string>
#include <vector>

#include "orchestrator/eval/task.h"

namespace katman {

// "builtin:NAME": a task, or all of a family; "cloze:CORPUS": the last words of paragraphs of a
// corpus's validation split. Nothing for other names; throws UsageError for an unknown NAME. A pure
// function of its arguments.
//
//   builtin:arithmetic  add2, subtract2, ... to add5, subtract5, multiply2, mixed1: "Q: What is 98
//                       plus 45? A: 143"
//   builtin:words       cycle (letters rotated), anagram1 and anagram2 (all but the first and last
//                       one or two letters shuffled), insertion (a sign between letters), reversal
std::vector<Task> builtin_tasks(const std::string& name, uint64_t seed);

// Each of the names as builtin_tasks understands it, or the name of a task file.
std::vector<Task> tasks_named(const std::vector<std::string>& names, uint64_t seed);

std::string builtin_task_names();  // "builtin:arithmetic (add2, ...), ..."

}  // namespace katman
