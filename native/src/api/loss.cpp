#include "api/loss.h"

namespace sightline {
namespace {

sl_status check_contrast(const sl_loss_desc& desc, int64_t batch, int64_t tokens) {
  SL_TRY(check_choice({"negatives", "loss_desc"}, desc.negatives, kNegatives, "sl_negatives"));
  SL_TRY(check_positive({"temperature", "loss_desc"}, desc.temperature));
  if (!(desc.false_negatives >= 0 && desc.false_negatives <= 1)) {
    return invalid({"false_negatives", "loss_desc"}, "%g, expected 0 to 1", desc.false_negatives);
  }
  const bool images = desc.negatives == SL_NEGATIVES_OTHERS;
  const int64_t found = images                                 ? batch
                        : desc.negatives == SL_NEGATIVES_IMAGE ? tokens
                                                               : batch * tokens;
  if (batch * tokens == 0 || found >= 2) return SL_OK;
  return invalid({"hidden"}, "%lld %s, expected at least 2 (SL_LOSS_INFONCE)",
                 static_cast<long long>(found), images ? "images" : "tokens to tell apart");
}

}  // namespace

sl_status check_loss(const sl_loss_desc* desc, int64_t batch, int64_t tokens,
                     LossOptions* options) {
  if (desc == nullptr) return SL_OK;
  if (desc->size != sizeof *desc) {
    return invalid({"size", "loss_desc"}, "%u, expected sizeof(sl_loss_desc) = %zu", desc->size,
                   sizeof *desc);
  }
  SL_TRY(check_choice({"kind", "loss_desc"}, desc->kind, kLossKinds, "sl_loss_kind"));
  SL_TRY(check_choice({"teacher_norm", "loss_desc"}, desc->teacher_norm, 2, "sl_teacher_norm"));
  SL_TRY(check_flag({"normalize", "loss_desc"}, desc->normalize));
  if (desc->kind == SL_LOSS_SMOOTH_L1) SL_TRY(check_positive({"beta", "loss_desc"}, desc->beta));
  if (desc->kind == SL_LOSS_INFONCE) SL_TRY(check_contrast(*desc, batch, tokens));
  options->kind = static_cast<LossKind>(desc->kind);
  options->spatial_teacher = desc->teacher_norm == SL_TEACHER_SPATIAL;
  options->normalize = desc->normalize == 1;
  options->negatives = static_cast<Negatives>(desc->negatives);
  options->beta = static_cast<float>(desc->beta);
  options->temperature = static_cast<float>(desc->temperature);
  options->false_negatives = static_cast<float>(desc->false_negatives);
  return SL_OK;
}

}  // namespace sightline
