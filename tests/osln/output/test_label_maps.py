from osln.output.label_maps import segment_fields


def test_a_seg_nrrd_says_the_segments_itself():
    fields = segment_fields({"lymph node": 1, "rejected candidate": 2}, (40, 36, 24))
    assert (fields["Segment0_Name"], fields["Segment0_LabelValue"]) == ("lymph node", "1")
    assert (fields["Segment1_Name"], fields["Segment1_LabelValue"]) == ("rejected candidate", "2")
    assert fields["Segment1_Extent"] == "0 39 0 35 0 23"
    assert fields["Segment0_Color"] == "0.266667 0.674510 0.392157"
