package org.sightline.vla;

import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A program that uses this library does not get what the command line is made of. */
class LibrariesTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "picocli.CommandLine",
        "org.knowm.xchart.XYChart",
        "org.snakeyaml.engine.v2.api.Load",
        "org.slf4j.Logger"
      })
  void areThoseOfModelsAndData(String name) {
    assertThrows(ClassNotFoundException.class, () -> Class.forName(name));
  }
}
