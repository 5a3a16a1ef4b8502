package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Set;
import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.sightline.DType;
import org.sightline.vla.data.loader.VlaBatch;

/** Bad batches are refused with both values in the message. */
class BatchChecksTest {
  private static final OpenVlaConfig CONFIG = TinyModels.config();

  @Test
  void pixelsOfAnotherSize() {
    refuse(
        batch -> with(batch, batch.pixelValues().narrow(3, 0, 14), batch.inputIds()),
        "pixelValues must have shape [2, 6, 15, 15], found [2, 6, 15, 14]");
  }

  @Test
  void idsOfAnotherType() {
    refuse(
        batch -> with(batch, batch.pixelValues(), batch.inputIds().to(ScalarType.Int)),
        "inputIds must be int64, found Int");
  }

  @Test
  void aRowWithoutBos() {
    refuse(
        batch -> with(batch, batch.pixelValues(), set(batch.inputIds(), 1, 0, 7)),
        "inputIds row 1 must start with BOS 1, found 7");
  }

  @Test
  void anIdOutsideTheVocabulary() {
    refuse(
        batch -> with(batch, batch.pixelValues(), set(batch.inputIds(), 0, 3, 64)),
        "inputIds[0,3] must be in 0..63, found 64");
  }

  @Test
  void paddingOnTheLeft() {
    refuse(
        batch ->
            new VlaBatch(
                batch.pixelValues(),
                batch.inputIds(),
                set(batch.attentionMask(), 1, 4, 0),
                batch.labels(),
                batch.actions()),
        "attentionMask row 1 must be ones then zeros (right padding), found 1 at column 5");
  }

  @Test
  void nothingSupervised() {
    refuse(
        batch ->
            new VlaBatch(
                batch.pixelValues(),
                batch.inputIds(),
                batch.attentionMask(),
                batch.labels().fill_(new Scalar(-100L)),
                batch.actions()),
        "labels must supervise at least one token after the first, found none (all -100)");
  }

  @Test
  void aLayerTheDecoderLacks() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model()) {
      var batch = TinyModels.batch(CONFIG, 1, 9, 9);
      var e = assertThrows(IllegalArgumentException.class, () -> model.forward(batch, Set.of(4)));
      assertEquals("hiddenLayers must be in 0..3, found 4", e.getMessage());
    }
  }

  @Test
  void aSequenceLongerThanThePositions() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model()) {
      var batch = TinyModels.batch(CONFIG, 1, 56, 56);
      var e = assertThrows(IllegalArgumentException.class, () -> model.forward(batch, Set.of()));
      assertEquals("sequence must have at most 64 tokens, found 65", e.getMessage());
    }
  }

  private static OpenVla model() {
    return new OpenVla(CONFIG, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, null, 0);
  }

  private static VlaBatch with(VlaBatch batch, Tensor pixels, Tensor ids) {
    return new VlaBatch(pixels, ids, batch.attentionMask(), batch.labels(), batch.actions());
  }

  private static Tensor set(Tensor tensor, int row, int column, long value) {
    Tensor copy = tensor.clone();
    copy.select(0, row).select(0, column).fill_(new Scalar(value));
    return copy;
  }

  private static void refuse(UnaryOperator<VlaBatch> spoil, String message) {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model()) {
      VlaBatch batch = spoil.apply(TinyModels.batch(CONFIG, 1, 9, 9, 9));
      var e = assertThrows(IllegalArgumentException.class, () -> model.forward(batch, Set.of()));
      assertEquals(message, e.getMessage());
    }
  }
}
