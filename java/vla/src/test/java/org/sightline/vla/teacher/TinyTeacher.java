package org.sightline.vla.teacher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.formats.safetensors.Safetensors;

/** A DINOv2 of 8 channels as Hugging Face would publish it, with random weights. */
public final class TinyTeacher {
  static final String CONFIG =
      """
      {"model_type": "dinov2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
       "mlp_ratio": 2, "image_size": 6, "patch_size": 3}
      """;

  private TinyTeacher() {}

  /** Writes {@code config.json} and {@code model.safetensors}. */
  public static void write(Path folder) throws IOException {
    try (PointerScope scope = new PointerScope()) {
      write(folder, CONFIG, tensors());
    }
  }

  static void write(Path folder, String config, Map<String, Tensor> tensors) throws IOException {
    Files.writeString(folder.resolve("config.json"), config);
    Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
  }

  static Map<String, Tensor> tensors() {
    var tensors = new LinkedHashMap<String, Tensor>();
    tensors.put("embeddings.cls_token", torch.randn(1, 1, 8));
    tensors.put("embeddings.mask_token", torch.randn(1, 8));
    tensors.put("embeddings.position_embeddings", torch.randn(1, 5, 8));
    tensors.put("embeddings.patch_embeddings.projection.weight", torch.randn(8, 3, 3, 3));
    tensors.put("embeddings.patch_embeddings.projection.bias", torch.randn(8));
    String layer = "encoder.layer.0.";
    for (String module : List.of("query", "key", "value")) {
      tensors.put(layer + "attention.attention." + module + ".weight", torch.randn(8, 8));
      tensors.put(layer + "attention.attention." + module + ".bias", torch.randn(8));
    }
    tensors.put(layer + "attention.output.dense.weight", torch.randn(8, 8));
    tensors.put(layer + "attention.output.dense.bias", torch.randn(8));
    tensors.put(layer + "mlp.fc1.weight", torch.randn(16, 8));
    tensors.put(layer + "mlp.fc1.bias", torch.randn(16));
    tensors.put(layer + "mlp.fc2.weight", torch.randn(8, 16));
    tensors.put(layer + "mlp.fc2.bias", torch.randn(8));
    for (String norm : List.of("norm1", "norm2")) {
      tensors.put(layer + norm + ".weight", torch.randn(8));
      tensors.put(layer + norm + ".bias", torch.randn(8));
    }
    tensors.put(layer + "layer_scale1.lambda1", torch.randn(8));
    tensors.put(layer + "layer_scale2.lambda1", torch.randn(8));
    tensors.put("layernorm.weight", torch.randn(8));
    tensors.put("layernorm.bias", torch.randn(8));
    return tensors;
  }
}
