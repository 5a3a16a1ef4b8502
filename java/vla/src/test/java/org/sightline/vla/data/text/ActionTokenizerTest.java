package org.sightline.vla.data.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class ActionTokenizerTest {
  private final ActionTokenizer tokenizer = new ActionTokenizer(32000, 256);

  /** {@code 32000 - numpy.digitize(x, numpy.linspace(-1, 1, 256))}, numpy 1.24. */
  @Test
  void encodesAsNumpyDoes() {
    double[] values = {
      -1,
      -0.9999,
      -0.5,
      -0.00392156862745098,
      0,
      0.00392156862745098,
      0.3,
      0.5,
      0.9999,
      1,
      -0.8666666666666667,
      0.5686274509803921,
      0.568627450980392
    };
    long[] ids = {
      31999, 31999, 31936, 31873, 31872, 31871, 31834, 31808, 31745, 31744, 31982, 31799, 31800
    };
    for (int i = 0; i < values.length; i++) {
      assertEquals(ids[i], tokenizer.encode(values[i]), "value " + values[i]);
    }
  }

  @Test
  void clipsAndRefusesNaN() {
    assertEquals(31999, tokenizer.encode(-7));
    assertEquals(31744, tokenizer.encode(Double.POSITIVE_INFINITY));
    assertEquals(
        "action value: found NaN, expected a number in [-1,1]",
        assertThrows(IllegalArgumentException.class, () -> tokenizer.encode(Double.NaN))
            .getMessage());
  }

  @Test
  void decodesToBinCentres() {
    assertEquals(0, tokenizer.decode(31872));
    assertEquals(-0.996078431372549, tokenizer.decode(31999), 1e-15);
    assertEquals(0.996078431372549, tokenizer.decode(31744), 1e-15);
    assertEquals(0.996078431372549, tokenizer.decode(31745), 1e-15, "the last bin is shared");
    assertEquals(0.996078431372549, tokenizer.decode(5), 1e-15, "text ids give the nearer end");
    assertEquals(-0.996078431372549, tokenizer.decode(32063), 1e-15);
  }

  @Test
  void roundTripErrsByHalfABinAtMost() {
    Random random = new Random(11);
    for (ActionTokenizer t :
        new ActionTokenizer[] {
          tokenizer, new ActionTokenizer(1024, 256), new ActionTokenizer(1024, 31)
        }) {
      double half = 1.0 / (t.bins() - 1);
      double worst = 0;
      for (int i = 0; i < 20_000; i++) {
        double value = i == 0 ? -1 : i == 1 ? 1 : random.nextDouble() * 2 - 1;
        long id = t.encode(value);
        assertTrue(t.isAction(id));
        worst = Math.max(worst, Math.abs(t.decode(id) - value));
      }
      assertTrue(worst <= half + 1e-12 && worst > 0.99 * half, "worst error " + worst);
    }
  }

  @Test
  void everyIdButTheSharedOneSurvives() {
    ActionTokenizer nano = new ActionTokenizer(1024, 256);
    assertEquals(768, nano.firstId());
    assertEquals(1023, nano.lastId());
    assertFalse(nano.isAction(767));
    assertFalse(nano.isAction(1024));
    for (long id = nano.firstId() + 1; id <= nano.lastId(); id++) {
      assertEquals(id, nano.encode(nano.decode(id)));
    }
    assertEquals(nano.firstId() + 1, nano.encode(nano.decode(nano.firstId())));
    assertEquals(1023, nano.encode(-1));
    assertEquals(768, nano.encode(1));
    assertArrayEquals(
        new float[] {(float) -0.996078431372549, 0}, nano.decode(new long[] {1023, 896}));
  }

  @Test
  void idsBesideTheActionsAreTheNearestEnd() {
    ActionTokenizer nano = new ActionTokenizer(1024, 256);
    for (long id : new long[] {Long.MIN_VALUE, -1, 0, 767, 768}) {
      assertEquals(nano.decode(769), nano.decode(id));
    }
    for (long id : new long[] {1024, Long.MAX_VALUE}) {
      assertEquals(nano.decode(1023), nano.decode(id));
    }
  }

  @Test
  void refusesATinyVocabulary() {
    assertThrows(IllegalArgumentException.class, () -> new ActionTokenizer(256, 256));
    assertThrows(IllegalArgumentException.class, () -> new ActionTokenizer(256, 1));
  }
}
