// beckon learn --report: what learning was like, as one page that needs nothing else.
#pragma once

#include <string>

#include "beckon/classifier_prompt.h"

namespace beckon::cli {

// Names of classes and paths come from the data: the page shows them as text, whatever they are.
std::string learn_report(const LearnedClassifier& learned);
// The file is replaced as a whole or not at all. Error(output).
void write_learn_report(const std::string& path, const LearnedClassifier& learned);

}  // namespace beckon::cli
