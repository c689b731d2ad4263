// The torso's mesh: the trunk grows along its normal by the layer's offset, sewn-on pieces are made to measure.
in vec3 in_position;
in vec3 in_normal;
in vec4 in_rest;     // rest position in the model's own coordinates, ambient occlusion
in vec4 in_cloth;    // cloth coordinates u, v; distance to the piece's free edge (cm); 1 for sewn-on pieces
in vec4 in_shade;    // contact shadow of torso.SHADING_PIECES
uniform float u_offset;
uniform vec4 u_shading_pieces;   // 1 for those that the layer has
out vec3 v_world;
out vec3 v_normal;
out vec4 v_rest;
out vec4 v_cloth;
out float v_open;    // light that the layer's own pieces leave
void main() {
    float body = body_weight(in_rest.xyz);
    vec3 p = in_position + in_normal * (u_offset * (1.0 - in_cloth.w));
    v_world = posed(p, body);
    v_normal = posed_direction(in_normal, body);
    v_rest = in_rest;
    v_cloth = in_cloth;
    v_open = 1.0 - 0.6 * dot(u_shading_pieces, in_shade);
    gl_Position = clip(v_world);
}
