package org.sightline.autograd;

import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Shape, dtype and device of a tensor. */
record TensorSpec(long[] shape, ScalarType dtype, byte deviceType, byte deviceIndex) {
  static TensorSpec of(Tensor tensor) {
    long[] shape = new long[(int) tensor.dim()];
    for (int i = 0; i < shape.length; i++) {
      shape[i] = tensor.size(i);
    }
    // Enums coming from native code are fresh objects; intern() finds the constant.
    ScalarType dtype = tensor.scalar_type().intern();
    if (tensor.is_cpu()) {
      return new TensorSpec(shape, dtype, DeviceType.CPU.value, (byte) -1);
    }
    try (Device device = tensor.device()) {
      return new TensorSpec(shape, dtype, device.type().value, device.index());
    }
  }

  static TensorSpec[] of(List<Tensor> tensors) {
    TensorSpec[] specs = new TensorSpec[tensors.size()];
    for (int i = 0; i < specs.length; i++) {
      specs[i] = of(tensors.get(i));
    }
    return specs;
  }

  /** Whether libtorch can carry gradients of this dtype. */
  boolean isDifferentiable() {
    return switch (dtype) {
      case Float, Double, Half, BFloat16, ComplexFloat, ComplexDouble, ComplexHalf -> true;
      default -> false;
    };
  }

  Tensor zeros() {
    Device device = new Device(deviceType, deviceIndex);
    TensorOptions options = new TensorOptions(dtype).device(new DeviceOptional(device));
    return torch.zeros(shape, options);
  }

  boolean matches(TensorSpec other) {
    return Arrays.equals(shape, other.shape)
        && dtype == other.dtype
        && deviceType == other.deviceType
        && deviceIndex == other.deviceIndex;
  }

  @Override
  public String toString() {
    try (Device device = new Device(deviceType, deviceIndex)) {
      return dtype + Arrays.toString(shape) + " on " + device.str().getString();
    }
  }
}
