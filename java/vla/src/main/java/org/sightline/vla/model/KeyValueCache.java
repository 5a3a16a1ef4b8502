package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.cat;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.sightline.binding.Scopes;

/**
 * Keys and values of the positions a decoder has seen, layer by layer, so that the next token costs
 * one position and not the whole sequence. For inference: what it holds is outside any graph.
 */
final class KeyValueCache implements AutoCloseable {
  private final List<Tensor> keys = new ArrayList<>(); // [B,heads,S,headWidth], rotated
  private final List<Tensor> values = new ArrayList<>();
  private long length;

  KeyValueCache(int layers) {
    for (int i = 0; i < layers; i++) {
      keys.add(null);
      values.add(null);
    }
  }

  /** Positions seen by every layer. */
  long length() {
    return length;
  }

  /** All keys and values of a layer, those of new positions included. */
  List<Tensor> extend(int layer, Tensor key, Tensor value) {
    return List.of(extend(keys, layer, key), extend(values, layer, value));
  }

  /** To be called when every layer has seen {@code tokens} more. */
  void advance(long tokens) {
    length += tokens;
  }

  private static Tensor extend(List<Tensor> held, int layer, Tensor fresh) {
    Tensor before = held.get(layer);
    Tensor all = before == null ? fresh : cat(new TensorVector(before, fresh), 2);
    held.set(layer, Scopes.own(all));
    if (before != null) {
      before.close();
    }
    return all;
  }

  @Override
  public void close() {
    for (List<Tensor> held : List.of(keys, values)) {
      for (Tensor tensor : held) {
        if (tensor != null) {
          tensor.close();
        }
      }
    }
  }
}
