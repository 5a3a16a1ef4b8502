package org.sightline.vla.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.train.Mode;
import org.sightline.vla.finetune.ExampleFrames.Frame;

/** The page of results that never were. */
class RunReportTest {
  private static final String NASTY =
      "</script><script>alert('x')</script><img src=y> & \"put\"\u001b[2J\u0000\u202e\r";
  private static final List<String> RECORDED =
      List.of("0.0123", "-0.0456", "0", "0.5", "0.25", "-1.5", "1.000");
  private static final List<String> PREDICTED =
      List.of("0.0111", ExampleFrames.NO_ACTION, "3", "4", "5", "6", "0.002");

  @TempDir private Path folder;

  @BeforeEach
  void leaveFrames() throws IOException {
    Frame heldOut = new Frame("data", 3, 5, true, NASTY, "AAAA", RECORDED, PREDICTED);
    Frame training = new Frame("data", 1, 0, false, "lift", "BBBB", RECORDED, PREDICTED);
    for (String mode : List.of("default", "align")) { // An older run left none for freeze.
      Files.createDirectory(folder.resolve(mode));
      Files.writeString(
          folder.resolve(mode).resolve("frames.json"),
          new Gson().toJson(Map.of("frames", List.of(heldOut, training))));
    }
  }

  private String report(int steps) throws IOException {
    return report(Results.of(steps));
  }

  private String report(List<ModeResult> results) throws IOException {
    JsonObject run = new JsonObject();
    for (String section : List.of("options", "started")) {
      JsonObject object = new JsonObject();
      object.addProperty("key of " + section, NASTY);
      run.add(section, object);
    }
    JsonArray modes = new JsonArray();
    modes.add("default");
    modes.add("align");
    run.getAsJsonObject("options").add("modes", modes);
    run.add("resumed", new JsonArray());
    RunFile.write(folder, run);
    RunReport.write(folder, results, "A note: " + NASTY);
    return Files.readString(folder.resolve("report.html"));
  }

  @Test
  void numbersAreRoundedToWhatTheyMean() throws IOException {
    String html = report(3);
    assertFalse(html.contains("7.941507"), "all digits of a loss");
    assertTrue(html.contains("<td>7.942 → 1.985</td><td>8.084 → 2.128</td>"), html);
    assertTrue(
        html.contains(
            "<tr><th>0</th><td>7.942</td><td>0.1235</td><td>0.3333</td><td>0.6667</td></tr>"),
        html);
    assertTrue(html.contains("<th>action loss</th><th>cosine 2</th><th>token accuracy</th>"), html);
    assertTrue(html.contains("<tr><th>seconds per step</th><td>0.1111</td>"), html);
    assertTrue(html.contains("<td>0.000667</td></tr>"), "a learning rate is small");
  }

  @Test
  void everyModesCurvesAreThere() throws IOException {
    JsonArray charts = curves(report(3));
    assertEquals(8, charts.size());
    JsonObject heldOut = chart(charts, "action loss (held out)");
    assertEquals(
        List.of("default", "freeze", "align"),
        heldOut.getAsJsonArray("curves").asList().stream()
            .map(curve -> curve.getAsJsonObject().get("mode").getAsString())
            .toList());
    JsonObject freeze = heldOut.getAsJsonArray("curves").get(1).getAsJsonObject();
    assertEquals("[0,3]", freeze.get("steps").toString());
    assertEquals(3, freeze.get("best").getAsInt());
    assertEquals("[8.0844,2.1282]", freeze.get("values").toString());
    assertEquals(
        "[0.002,0.001,6.6667E-4]",
        chart(charts, "learning rate (training)")
            .getAsJsonArray("curves")
            .get(0)
            .getAsJsonObject()
            .get("values")
            .toString());
    for (JsonElement chart : charts) {
      JsonArray curves = chart.getAsJsonObject().getAsJsonArray("curves");
      assertEquals(3, curves.size(), chart.toString());
      assertEquals(
          3,
          curves.asList().stream()
              .map(curve -> curve.getAsJsonObject().get("color").getAsString())
              .distinct()
              .count(),
          "curves of one colour");
    }
  }

  @Test
  void aLongLogIsThinned() throws IOException {
    String html = report(2501);
    JsonArray steps =
        chart(curves(html), "action loss (training)")
            .getAsJsonArray("curves")
            .get(0)
            .getAsJsonObject()
            .getAsJsonArray("steps");
    assertEquals(2000, steps.size());
    assertEquals(2501, steps.get(1999).getAsInt());
    assertTrue(html.contains("500 of 2501 rows; align/log.csv has all, with all digits"), html);
  }

  @Test
  void nothingIsLoadedAndWhatDataSayStaysText() throws IOException {
    RunHistory.Row row =
        new RunHistory.Row(0, Map.of("cosine_" + NASTY, 0.5, "action_loss", 1.0 / 3));
    ModeResult nasty =
        new ModeResult(
            Mode.ALIGN,
            new ModeResult.Summary("stopped", 3, 0, 1, NASTY),
            new RunHistory(List.of(row), List.of(row), List.of()));
    String html = report(List.of(nasty));
    assertFalse(html.contains("<img src=y>") || html.contains("<script>alert"), "not escaped");
    String own = html.replace(between(html, "<script>\n", "</script>"), "");
    assertFalse(own.matches("(?s).*[\\p{Cf}\\p{Cc}&&[^\n\t]].*"), "not escaped");
    assertFalse(own.matches("(?s).*(src|href)=\"(?!data:).*"), "it refers to another file");
    assertFalse(own.matches("(?s).*(url\\(|@import|<link|<iframe).*"), "it refers to another file");
    assertTrue(html.contains("content=\"default-src 'none'; img-src data:;"), html);
    String escaped =
        "&lt;/script&gt;&lt;script&gt;alert('x')&lt;/script&gt;&lt;img src=y&gt; &amp;"
            + " &quot;put&quot;\\u001b[2J\\u0000\\u202e\\r";
    assertTrue(html.contains("<p>A note: " + escaped + "</p>"), html);
    assertTrue(html.contains("<th>key of options</th><td>" + escaped + "</td>"), html);
    assertTrue(html.contains("<th>modes</th><td>default align</td>"), html);
    assertTrue(html.contains("<tr><th>why</th><td>" + escaped + "</td></tr>"), html);
    assertTrue(html.contains("<b>" + escaped + "</b>"), html);
    for (String tag : List.of("table", "tr", "th", "td", "div", "details", "figure", "script")) {
      assertEquals(
          own.split("<" + tag + "[ >]", -1).length, own.split("</" + tag + ">", -1).length, tag);
    }
  }

  @Test
  void framesShowWhatWasRecordedAndWhatEachModeSays() throws IOException {
    String html = report(3);
    assertEquals(2, html.split("<figure>", -1).length - 1);
    String first = between(html, "<figure>", "</figure>");
    assertTrue(first.contains("held out: data, episode 3, step 5"), first);
    assertTrue(first.contains("src=\"data:image/jpeg;base64,AAAA\""), first);
    assertTrue(first.contains("<th>recorded</th><th>default</th><th>align</th></tr>"), first);
    assertTrue(
        first.contains("<th>x</th><td>0.0123</td><td>0.0111</td><td>0.0111</td></tr>"), first);
    assertTrue(
        first.contains("<th>y</th><td>-0.0456</td><td>no action</td><td>no action</td></tr>"),
        first);
    assertTrue(html.contains("trained on: data, episode 1, step 0"), html);
  }

  @Test
  void uplotComesWithItsLicenceAndWithoutScriptsThereIsAWord() throws IOException {
    String html = report(3);
    String script = between(html, "<script>\n", "</script>");
    assertTrue(script.contains("Copyright (c) 2022 Leon Sorokin"), "no copyright");
    assertTrue(script.contains("Permission is hereby granted"), "no licence");
    assertTrue(script.contains("var uPlot=function()"), "no uPlot");
    assertTrue(between(html, "<noscript>", "</noscript>").contains("tables"), html);
  }

  private static JsonArray curves(String html) {
    return JsonParser.parseString(between(html, "id=\"curves-data\">", "</script>"))
        .getAsJsonArray();
  }

  private static JsonObject chart(JsonArray charts, String title) {
    return charts.asList().stream()
        .map(JsonElement::getAsJsonObject)
        .filter(chart -> chart.get("title").getAsString().equals(title))
        .findFirst()
        .orElseThrow();
  }

  private static String between(String text, String start, String end) {
    int from = text.indexOf(start) + start.length();
    assertTrue(from >= start.length(), "no " + start);
    return text.substring(from, text.indexOf(end, from));
  }
}
