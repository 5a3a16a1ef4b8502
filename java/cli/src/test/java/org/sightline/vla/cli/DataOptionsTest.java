package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.vla.data.SharedData;
import org.sightline.vla.finetune.DataFolder;
import org.sightline.vla.tabletop.TabletopGenerator;

/** What the data options of the command line do to a run. */
class DataOptionsTest {
  @TempDir private Path folder;
  private Path data;

  @BeforeEach
  void render() throws IOException {
    data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(4, 1, 64, 3));
  }

  private Cli finetune(String output, String options) {
    return Cli.run(
        "finetune --output %s --modes align --evaluations 1 --batch-size 4 %s"
            .formatted(folder.resolve(output), options));
  }

  private byte[] adapter(String output) throws IOException {
    return Files.readAllBytes(folder.resolve(output).resolve("align/adapter_model.safetensors"));
  }

  /** The second run asks the teacher nothing, and neither cache nor threads change a bit. */
  @Test
  void cachedFeaturesGiveTheSameAdapter() throws IOException {
    Path cache = folder.resolve("cache");
    String options = "--data %s --steps 3 --views 2 --teacher-cache %s".formatted(data, cache);
    Cli first = finetune("first", options + " --data-threads 0");
    assertEquals(0, first.exitCode(), first.err());
    assertTrue(first.out().contains("Teacher cache: "), first.out());
    assertFalse(first.out().contains(" 0 misses"), first.out());
    assertTrue(first.out().contains("align    waited "), first.out());
    Cli second = finetune("second", options + " --data-threads 2");
    assertEquals(0, second.exitCode(), second.err());
    assertTrue(
        second.out().contains(" 0 misses (100.0 % hits), teacher asked for 0;"), second.out());
    assertTrue(second.out().contains(" pictures of " + 36 * 128 * 2 + " bytes in " + cache));
    assertArrayEquals(adapter("first"), adapter("second"));

    Cli plain =
        finetune("plain", "--data %s --steps 3 --no-augment --data-threads 1".formatted(data));
    assertEquals(0, plain.exitCode(), plain.err());
    assertFalse(java.util.Arrays.equals(adapter("first"), adapter("plain")), "augmentation counts");
  }

  @Test
  void aMixtureLeavesEveryDatasetsStatistics() throws IOException {
    Path bridge = SharedData.bridge();
    Cli cli = finetune("mix", "--data %s=3,%s=1 --steps 2".formatted(bridge, data));
    assertEquals(0, cli.exitCode(), cli.err());
    JsonObject statistics =
        JsonParser.parseString(
                Files.readString(folder.resolve("mix/align/dataset_statistics.json")))
            .getAsJsonObject();
    assertEquals(Set.of("bridge_dataset", "sightline_tabletop"), statistics.keySet());
    for (String name : statistics.keySet()) {
      JsonObject action = statistics.getAsJsonObject(name).getAsJsonObject("action");
      assertEquals(7, action.getAsJsonArray("q01").size());
      assertEquals(7, action.getAsJsonArray("q99").size());
      assertFalse(action.getAsJsonArray("mask").get(6).getAsBoolean(), "the gripper");
      assertTrue(cli.out().contains("data     " + name + ": "), cli.out());
    }
  }

  /** Also within a run's own files, from which it goes on. */
  @Test
  void pathsMayHaveCommasAndEqualsSigns() throws IOException {
    Path odd = folder.resolve("left, right/robot=widowx/me@home");
    Files.createDirectories(odd.getParent());
    Files.move(data, odd);
    Path config =
        Files.writeString(folder.resolve("c.json"), "{\"data\": [\"%s=2\"]}".formatted(odd));
    String output = folder.resolve("run").toString();
    String[] arguments = {
      "finetune", "--output", output, "--modes", "default", "--steps", "1", "--evaluations", "1"
    };
    Cli cli =
        Cli.of(
            Stream.concat(Stream.of(arguments), Stream.of("--config", config.toString()))
                .toArray(String[]::new));
    assertEquals(0, cli.exitCode(), cli.err());
    JsonObject options =
        JsonParser.parseString(Files.readString(folder.resolve("run/run.json")))
            .getAsJsonObject()
            .getAsJsonObject("options");
    assertEquals("[\"" + odd + "=2.0\"]", options.get("data").toString());
    Cli resumed = Cli.of("finetune", "--resume", output, "--steps", "2");
    assertEquals(0, resumed.exitCode(), resumed.err());
    Cli eval = Cli.of("eval", "--data", odd.toString(), "--adapter", output + "/default");
    assertTrue(eval.out().contains(" 1 of 4 episodes (held out)"), eval.out() + eval.err());

    Path missing = folder.resolve("right/robot=widowy");
    Cli none = Cli.of("finetune", "--output", output + "2", "--data", odd + "," + missing);
    assertEquals(2, none.exitCode());
    assertTrue(none.err().contains("--data: no such file or folder: " + missing), none.err());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "~A,~B             | ~A ~B",
        "~A=3,~B=0.5       | ~A=3.0 ~B=0.5",
        "x@~A=3,y@~B=1     | x@~A=3.0 y@~B=1.0",
        "~A,A,~C           | ~A,A ~C",
        "~A,A=2,z@~A,A     | ~A,A=2.0 z@~A,A",
        "~A=1,~C           | ~A=1 ~C",
        "~A,~C=1,~B        | ~A ~C=1 ~B",
        "~A=1=2            | ~A=1=2.0",
        "~u@h,n@~u@h       | ~u@h n@~u@h",
        "~no,~A            | ~no ~A",
        "~no=2             | ~no=2.0",
        "~no=x             | ~no=x",
        "x@~no/no          | x@~no/no"
      })
  void foldersAreToldApartByWhatIsThere(String value, String expected) throws IOException {
    for (String name : List.of("A", "B", "A,A", "A=1", "C", "C=1", "u@h")) {
      Files.createDirectory(folder.resolve(name));
    }
    assertEquals(
        List.of(expected.replace("~", folder + "/").split(" ")),
        DataFolder.list(List.of(value.replace("~", folder + "/"))).stream()
            .map(DataFolder::toString)
            .toList());
  }

  @Test
  void aShareThatIsNoneIsRefused() throws IOException {
    for (String share : List.of("x", "", "0", "-1", "NaN", "Infinity")) {
      Cli cli = finetune("run", "--data " + data + "=" + share);
      assertEquals(2, cli.exitCode(), share);
      assertTrue(
          cli.err()
              .contains(
                  "--data must be [NAME@]DIR[=SHARE] with a positive SHARE, found "
                      + data
                      + "="
                      + share),
          cli.err());
    }
    assertFalse(Files.exists(folder.resolve("run")));
  }

  @Test
  void twoDatasetsOfOneNameAreToldApart() throws IOException {
    Path other = folder.resolve("other");
    TabletopGenerator.generate(other, new TabletopGenerator.Options(5, 1, 64, 4));
    Cli same = finetune("same", "--steps 1 --data %s,%s".formatted(data, other));
    assertEquals(2, same.exitCode());
    assertTrue(
        same.err()
            .contains(
                "--data must tell datasets of one name apart, as other@DIR does, found the names"
                    + " [sightline_tabletop, sightline_tabletop]"),
        same.err());
    assertFalse(Files.exists(folder.resolve("same")));
    Cli cli = finetune("run", "--steps 1 --data %s,dark@%s".formatted(data, other));
    assertEquals(0, cli.exitCode(), cli.err());
    JsonObject statistics =
        JsonParser.parseString(
                Files.readString(folder.resolve("run/align/dataset_statistics.json")))
            .getAsJsonObject();
    assertEquals(Set.of("sightline_tabletop", "dark"), statistics.keySet());
    assertTrue(cli.out().contains("data     dark: 4 episodes for training, 1 held out"), cli.out());
    Cli eval =
        Cli.run(
            "eval --data %s --adapter %s --unnorm-key dark"
                .formatted(other, folder.resolve("run/align")));
    assertTrue(
        eval.out().startsWith("dark, split train: 1 of 5 episodes (held out), "),
        eval.out() + eval.err());
  }

  @Test
  void corruptRecordsAreAnErrorOrSkipped() throws IOException {
    Path shard;
    try (var files = Files.list(data)) {
      shard = files.filter(file -> file.toString().contains(".tfrecord-")).findFirst().get();
    }
    byte[] bytes = Files.readAllBytes(shard);
    bytes[100] ^= 1;
    Files.write(shard, bytes);
    Cli failing = finetune("failing", "--steps 1 --data " + data);
    assertEquals(2, failing.exitCode());
    String message = shard + ": record 0 at byte offset 0: masked CRC32C of the data (";
    assertTrue(failing.err().contains(message), failing.err());
    assertFalse(failing.err().contains("\tat "), failing.err());
    Cli skipping = finetune("skipping", "--steps 1 --skip-corrupt --data " + data);
    assertEquals(0, skipping.exitCode(), skipping.err());
    assertTrue(
        skipping
            .out()
            .contains(
                "skipped  sightline_tabletop: unreadable episodes 1; first unreadable: " + message),
        skipping.out());
  }
}
