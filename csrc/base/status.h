// Errors as values. Every message says what is wrong, where, and what to do about it.
#pragma once

#include <optional>
#include <string>
#include <utility>

namespace pyrt {

enum class Code : int {
  kOk = 0,
  kFormat = 1,       // the model file lies or is damaged
  kUnsupported = 2,  // valid, but nothing here can run it
  kShape = 3,        // dims do not fit
  kDType = 4,        // element type does not fit
  kResource = 5,     // memory, threads or a limit of the caller is exhausted
  kCancelled = 6,    // the caller asked to stop
  kArgument = 7,     // a name or option that does not exist
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // The same error with `where` put in front, so that outer layers add the place.
  Status at(const std::string& where) const {
    return ok() ? *this : Status(code_, where + ": " + message_);
  }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// A value or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit by design
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() { return *value_; }
  const T& value() const { return *value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace pyrt

// Leaves the enclosing function with the error, if there is one.
#define PYRT_RETURN_IF_ERROR(expression)         \
  do {                                           \
    ::pyrt::Status pyrt_status_ = (expression);  \
    if (!pyrt_status_.ok()) return pyrt_status_; \
  } while (false)
