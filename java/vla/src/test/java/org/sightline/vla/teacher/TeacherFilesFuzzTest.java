package org.sightline.vla.teacher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.sightline.DType;
import org.sightline.Fuzz;
import org.sightline.FuzzTargets;
import org.sightline.Sightline;
import org.sightline.vla.model.VisionConfig;

/** Spoiled teachers, with a configuration beside them or within. */
class TeacherFilesFuzzTest implements FuzzTargets {
  private static final Path PUBLISHED = Path.of("src/test/fixtures/teachers");

  @Override
  public Stream<Fuzz> targets(Path parent) throws IOException {
    Sightline.load();
    List<Fuzz> tests = new ArrayList<>();
    for (String name : List.of("dinov2-hf", "siglip-hf")) {
      Path folder = Files.createDirectory(parent.resolve(name));
      for (String file : List.of("config.json", "model.safetensors")) {
        Files.copy(PUBLISHED.resolve(name).resolve(file), folder.resolve(file));
      }
      tests.add(Fuzz.of("teacher-" + name, folder.resolve("config.json"), f -> open(folder)));
    }
    Path own = parent.resolve("own.safetensors");
    TeacherFile.writeRandom(
        own,
        new TeacherConfig(
            VisionConfig.vit(4, 2, 8, 1, 2, 8)
                .with()
                .classTokens(1)
                .classPosition(true)
                .layerScale(true)
                .build(),
            true,
            List.of(0.5, 0.5, 0.5),
            List.of(0.5, 0.5, 0.5),
            "random"),
        1);
    tests.add(Fuzz.ofHeader("teacher-own", own, TeacherFilesFuzzTest::open));
    return tests.stream();
  }

  private static void open(Path path) throws IOException {
    try (PointerScope scope = new PointerScope()) {
      VisionTeacher.open(path, 2, DType.FLOAT32).close();
    }
  }
}
