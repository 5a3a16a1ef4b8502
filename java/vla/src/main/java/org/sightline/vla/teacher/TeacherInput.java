package org.sightline.vla.teacher;

import static org.bytedeco.pytorch.global.torch.tensor;
import static org.bytedeco.pytorch.global.torch.upsample_bilinear2d;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Device;
import org.sightline.binding.Scopes;

/**
 * What a teacher looks at, made from what the policy looks at.
 *
 * <p>It is channels 0–2 of the policy's pixels, the DINOv2-normalised copy, already augmented, so
 * that teacher and student see the same picture. They are resized to the teacher's size (bilinear,
 * {@code align_corners} false, no antialias, as the paper's code does) and renormalised from the
 * policy's constants to the teacher's, in one affine map and fp32:
 *
 * <pre>
 * C-RADIO   256 pixels, back to [0,1], then its own conditioner
 * DINOv2    224 pixels: these pixels as they are
 * SigLIP    224 pixels in [-1,1], which are the policy's channels 3–5
 * Theia     256 pixels, normalised as they are
 * </pre>
 *
 * <p>(Sizes beside a policy of 16×16 patches.) The paper's code takes the first step of each in
 * bf16; fp32 keeps what that rounds off.
 */
final class TeacherInput implements AutoCloseable {
  private final Device device;
  private final int size;
  private final Tensor scale; // [3,1,1], input = pixel · scale + shift
  private final Tensor shift;

  TeacherInput(TeacherConfig config, Device device) {
    this.device = device;
    size = config.vision().imageSize();
    var scales = new float[3];
    var shifts = new float[3];
    for (int c = 0; c < 3; c++) {
      double std = config.std().get(c);
      scales[c] = (float) (TeacherConfig.POLICY_STD.get(c) / std);
      shifts[c] = (float) ((TeacherConfig.POLICY_MEAN.get(c) - config.mean().get(c)) / std);
    }
    try (PointerScope scope = new PointerScope()) {
      scale = Scopes.own(device.move(tensor(scales).view(3, 1, 1)));
      shift = Scopes.own(device.move(tensor(shifts).view(3, 1, 1)));
    }
  }

  /** [B,3,size,size] in fp32 for policy pixels [B,6,H,W]. */
  Tensor of(Tensor pixels) {
    Tensor rgb = device.move(pixels.narrow(1, 0, 3)).to(ScalarType.Float);
    if (rgb.size(2) != size || rgb.size(3) != size) {
      rgb = upsample_bilinear2d(rgb, new long[] {size, size}, false);
    }
    return rgb.mul(scale).add(shift);
  }

  @Override
  public void close() {
    scale.close();
    shift.close();
  }
}
