package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code plan}: what it prints, and with which exit code. */
class PlanCommandTest {
  private static final String PAPER = "--preset openvla-7b --dtype bfloat16 ";

  private static Cli plan(String options) {
    return Cli.run("plan " + options);
  }

  private static long group(JsonObject json, String name, String key) {
    return json.getAsJsonObject("groups").getAsJsonObject(name).get(key).getAsLong();
  }

  @Test
  void textTellsTheModelTheGroupsAndTheTensors() {
    Cli run = plan(PAPER);
    assertEquals(0, run.exitCode(), run.err());
    String text = run.out().replaceAll(" +", " ");
    assertTrue(text.contains("openvla-7b, 7,541,237,184 parameters in 982 tensors\n"), text);
    assertTrue(text.contains("step batch 8, 256 + 30 tokens, bf16, rank 32\n"), text);
    assertTrue(text.contains("alignment layers [16] to c-radio_v3-l\n"), text);
    assertTrue(text.contains("kept hidden states 18.7 MB\n"), text);
    assertTrue(
        text.contains(
            "saved: decoder 1.61 GB bf16 language_model.model.layers.*.mlp gate"
                + " 32 × [2288, 11008] SiLU's x\n"),
        text);
  }

  @Test
  void jsonListsEveryTensorAndItsSumIsTheTotal() {
    JsonObject json = plan(PAPER + "--json").json();
    long sum = 0;
    for (JsonElement element : json.getAsJsonArray("tensors")) {
      JsonObject tensor = element.getAsJsonObject();
      if (!tensor.get("group").getAsString().equals("at the peak")) {
        sum += tensor.get("bytes").getAsLong();
      }
    }
    assertEquals(json.get("total_bytes").getAsLong(), sum + group(json, "at the peak", "bytes"));
  }

  @Test
  void optionsChangeWhatTheyName() {
    JsonObject plain = plan(PAPER + "--json").json();
    JsonObject again = plan(PAPER + "--json --gradient-checkpointing").json();
    assertTrue(
        20 * group(again, "saved: decoder", "bytes") < 2 * group(plain, "saved: decoder", "bytes"));
    JsonObject rank = plan(PAPER + "--json --rank 16").json();
    assertEquals(group(plain, "adapters", "bytes"), 2 * group(rank, "adapters", "bytes"));
    JsonObject split = plan(PAPER + "--json --optimizer-state remainder").json();
    assertEquals(group(plain, "optimizer", "bytes") * 10, group(split, "optimizer", "bytes") * 12);
    JsonObject batch = plan(PAPER + "--json --batch-size 16").json();
    assertEquals(2 * group(plain, "batch", "bytes"), group(batch, "batch", "bytes"));
    JsonObject none = plan(PAPER + "--json --no-align").json();
    assertEquals(0, group(none, "teacher", "bytes") + group(none, "projector", "bytes"));
    JsonObject two = plan(PAPER + "--json --layers 8,16").json();
    assertEquals(2 * group(plain, "projector", "bytes"), group(two, "projector", "bytes"));
    JsonObject fp32 = plan("--preset openvla-7b --json").json();
    assertEquals(2 * group(plain, "adapters", "bytes"), group(fp32, "adapters", "bytes"));
  }

  @Test
  void memoryThatIsThereDecidesTheExitCode() {
    Cli fits = plan(PAPER + "--memory 80GB");
    assertEquals(0, fits.exitCode(), fits.err());
    assertTrue(fits.out().matches("(?s).*fits +yes: [\\d.]+ GB of 80\\.0 GB\n.*"), fits.out());
    Cli not = plan(PAPER + "--memory 16GB");
    assertEquals(2, not.exitCode());
    assertTrue(not.out().matches("(?s).*fits +no: [\\d.]+ GB of 16\\.0 GB\n.*"), not.out());
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void measuresRealSteps() {
    for (String options : new String[] {"", " --gradient-checkpointing", " --no-align"}) {
      JsonObject json = plan("--batch-size 2 --rank 4 --json --measure 2" + options).json();
      assertTrue(json.get("seconds_per_step").getAsDouble() > 0);
      long baseline = json.get("measured_baseline_bytes").getAsLong();
      assertTrue(baseline > 0);
      assertTrue(json.get("measured_peak_bytes").getAsLong() >= baseline);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "--preset big| --preset must be openvla-7b, mid, nano or pico, found \"big\"",
        "--rank 0| --rank must be at least 1, found 0",
        "--batch-size 0| --batch-size must be at least 1, found 0",
        "--layers 5| --layers must be in 0..4 for nano, found 5",
        "--text-tokens 8| --text-tokens must be at least 9, found 8",
        "--measure 0| --measure must be at least 1, found 0",
        "--measure 2147483647| --measure must be at most 2147483646, found 2147483647",
        "--measure 1 --batch-size 2147483647| a step needs at least ",
        "--weights nowhere| --weights: no such file or folder: nowhere",
      })
  void unusableInputIsNamed(String options, String message) {
    Cli run = plan(options);
    assertEquals(2, run.exitCode());
    assertTrue(run.err().contains("sightline: " + message), run.err());
  }

  @Test
  void anUnknownTeacherIsNamed() {
    Cli run = plan("--preset mid --teacher-preset clip");
    assertEquals(2, run.exitCode());
    assertTrue(run.err().contains("--teacher-preset must be one of ["), run.err());
  }
}
