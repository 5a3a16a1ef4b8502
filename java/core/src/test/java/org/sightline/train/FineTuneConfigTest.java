package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.sightline.AdamW;
import org.sightline.ProjectorConfig;

class FineTuneConfigTest {
  @Test
  void defaultsAreThePapers() {
    FineTuneConfig config = FineTuneConfig.builder(Mode.DEFAULT, 10).build();
    assertEquals(0.2, config.lambda());
    assertEquals(LayerReduction.SUM, config.reduction());
    assertEquals(1, config.gradientAccumulation());
    assertEquals(AdamW.Config.defaults(), config.optimizer());
    assertEquals(List.of(), config.alignedLayers());
  }

  static Stream<Arguments> invalid() {
    ProjectorConfig projector = ProjectorConfig.of(4, 4, 4);
    return Stream.of(
        invalid("lambda must be finite and at least 0, found -0.1", b -> b.lambda(-0.1)),
        invalid("lambda must be finite and at least 0, found NaN", b -> b.lambda(Double.NaN)),
        invalid("gradientAccumulation must be at least 1, found 0", b -> b.gradientAccumulation(0)),
        invalid("logInterval must be at least 1, found 0", b -> b.logInterval(0)),
        invalid("evaluationInterval must be at least 0, found -1", b -> b.evaluationInterval(-1)),
        invalid(
            "alignedLayers must be at least 0, found -2",
            b -> b.alignedLayers(List.of(1, -2)).projector(projector)),
        invalid(
            "alignedLayers must be distinct, found [1, 1]",
            b -> b.alignedLayers(List.of(1, 1)).projector(projector)),
        invalid(
            "projector must be given for alignedLayers [1], found null",
            b -> b.alignedLayers(List.of(1)).projector(null)));
  }

  private static Arguments invalid(String message, UnaryOperator<FineTuneConfigBuilder> change) {
    return arguments(message, change);
  }

  @ParameterizedTest
  @MethodSource("invalid")
  void refusesInvalidValues(String message, Object change) {
    @SuppressWarnings("unchecked")
    UnaryOperator<FineTuneConfigBuilder> operator = (UnaryOperator<FineTuneConfigBuilder>) change;
    FineTuneConfigBuilder builder = operator.apply(FineTuneConfig.builder(Mode.DEFAULT, 1));
    assertEquals(
        message, assertThrows(IllegalArgumentException.class, builder::build).getMessage());
  }

  @Test
  void alignNeedsALayerAndARunAStep() {
    assertEquals(
        "alignedLayers must name a layer in mode ALIGN, found []",
        assertThrows(
                IllegalArgumentException.class, () -> FineTuneConfig.builder(Mode.ALIGN, 1).build())
            .getMessage());
    assertEquals(
        "steps must be at least 1, found 0",
        assertThrows(
                IllegalArgumentException.class,
                () -> FineTuneConfig.builder(Mode.DEFAULT, 0).build())
            .getMessage());
  }
}
