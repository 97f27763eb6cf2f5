// aclopAttr: attributes of the older aclop interface. softcann runs no such operator, so values are checked and not kept;
// the operator call itself says that it is not supported.
#include "softcann/api_ascendcl.h"
#include "softcann/core/error.h"

struct aclopAttr {};

namespace softcann {
namespace {

aclError check(const char* function, const aclopAttr* attr, const char* name, bool values = true) {
  if (attr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: attr is null", function);
  if (name == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: attrName is null", function);
  if (!values) return fail(ACL_ERROR_INVALID_PARAM, "%s: the value of %s is null or its length negative", function, name);
  return ACL_SUCCESS;
}

bool is_list(int length, const void* values) { return length == 0 || (length > 0 && values != nullptr); }

}  // namespace

aclopAttr* api::aclopCreateAttr() { return new aclopAttr; }
void api::aclopDestroyAttr(const aclopAttr* attr) { delete attr; }

aclError api::aclopSetAttrBool(aclopAttr* attr, const char* attrName, uint8_t attrValue) {
  return check("aclopSetAttrBool", attr, attrName);
}
aclError api::aclopSetAttrInt(aclopAttr* attr, const char* attrName, int64_t attrValue) {
  return check("aclopSetAttrInt", attr, attrName);
}
aclError api::aclopSetAttrFloat(aclopAttr* attr, const char* attrName, float attrValue) {
  return check("aclopSetAttrFloat", attr, attrName);
}
aclError api::aclopSetAttrDataType(aclopAttr* attr, const char* attrName, aclDataType attrValue) {
  return check("aclopSetAttrDataType", attr, attrName);
}
aclError api::aclopSetAttrString(aclopAttr* attr, const char* attrName, const char* attrValue) {
  return check("aclopSetAttrString", attr, attrName, attrValue != nullptr);
}
aclError api::aclopSetAttrListBool(aclopAttr* attr, const char* attrName, int numValues, const uint8_t* values) {
  return check("aclopSetAttrListBool", attr, attrName, is_list(numValues, values));
}
aclError api::aclopSetAttrListInt(aclopAttr* attr, const char* attrName, int numValues, const int64_t* values) {
  return check("aclopSetAttrListInt", attr, attrName, is_list(numValues, values));
}
aclError api::aclopSetAttrListFloat(aclopAttr* attr, const char* attrName, int numValues, const float* values) {
  return check("aclopSetAttrListFloat", attr, attrName, is_list(numValues, values));
}
aclError api::aclopSetAttrListDataType(aclopAttr* attr, const char* attrName, int numValues, const aclDataType values[]) {
  return check("aclopSetAttrListDataType", attr, attrName, is_list(numValues, values));
}
aclError api::aclopSetAttrListString(aclopAttr* attr, const char* attrName, int numValues, const char** values) {
  return check("aclopSetAttrListString", attr, attrName, is_list(numValues, values));
}
aclError api::aclopSetAttrListListInt(aclopAttr* attr, const char* attrName, int numLists, const int* numValues,
                                      const int64_t* const values[]) {
  return check("aclopSetAttrListListInt", attr, attrName, is_list(numLists, numValues) && is_list(numLists, values));
}

}  // namespace softcann
