package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.TensorBytes;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;

class ModulesTest {
  @TempDir private Path folder;

  /** A model keeps the very memory a file was read into, if the type is right. */
  @Test
  void aTensorThatIsHandedOverIsNotCopied() throws IOException {
    OpenVlaConfig tiny = TinyModels.config();
    HuggingFaceCheckpoint.write(
        folder.resolve("model"), tiny, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, 20_000);
    var addresses = new LinkedHashMap<String, Long>();
    try (HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(folder.resolve("model"));
        Modules modules =
            new Modules(
                new Weights() {
                  @Override
                  public Tensor get(ParameterSpec parameter) {
                    Tensor tensor = read.get(parameter);
                    addresses.put(parameter.name(), tensor.data_ptr().address());
                    return tensor;
                  }

                  @Override
                  public boolean handsOver() {
                    return read.handsOver();
                  }
                },
                Device.CPU,
                DType.FLOAT32,
                LoraPlan.none(),
                0)) {
      Tensor kept = modules.parameter("projector.fc2.bias", 32);
      assertEquals(addresses.get("projector.fc2.bias"), kept.data_ptr().address());
    }
  }

  /**
   * Weights go to a device one by one: what the host has of them meanwhile is the largest, as the
   * file holds it and in the model's type.
   */
  @Test
  void aDeviceLeavesTheHostOneTensorAtATime() throws IOException {
    OpenVlaConfig tiny = TinyModels.with(TinyModels.config(), 40_000, 64, 1e-6);
    HuggingFaceCheckpoint.write(
        folder.resolve("model"), tiny, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, 1 << 20);
    long largest = 40_000L * 32 * Float.BYTES;
    try (HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(folder.resolve("model"));
        TensorBytes host = new TensorBytes();
        OpenVla model =
            OpenVla.of(tiny, read, Device.META, DType.BFLOAT16, LoraPlan.all(TinyModels.LORA), 1)) {
      assertEquals(Device.META, model.device());
      assertTrue(host.peak() >= largest, host.peak() + " bytes");
      assertTrue(host.peak() < 2 * largest, host.peak() + " bytes");
      assertTrue(host.live() < largest / 100, host.live() + " bytes");
    }
  }

  @Test
  void tensorsOfAnotherDeviceAreRefused() {
    try (Modules modules =
        new Modules(spec -> null, Device.META, DType.FLOAT32, LoraPlan.none(), 0)) {
      var e = assertThrows(IllegalStateException.class, () -> modules.own(torch.zeros(2)));
      assertEquals("a model's tensors must be on meta, found one on cpu", e.getMessage());
    }
  }
}
